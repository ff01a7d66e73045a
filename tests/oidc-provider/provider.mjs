// An OpenID provider on loopback, for tests: discovery, code with PKCE, device flow, client
// credentials. `POST /test/rotate` makes a new signing key and keeps the old one published, as a
// provider does while tokens are in flight; `POST /test/retire` drops all but the newest.
//
// Prints its URL in one line. Arguments: the redirect URI of the pages' client, and the audience
// of access tokens.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

const [redirectUri, audience] = process.argv.slice(2);
const keys = [];
let issuer;
let handler;

function addKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = privateKey.export({ format: 'jwk' });
  keys.unshift({ ...jwk, kid: randomUUID(), use: 'sig', alg: 'RS256' });
}

function build() {
  const people = {
    grace: { name: 'Grace', email: 'grace@example.org', groups: ['maintainers'] },
    ada: { name: 'Ada', email: 'ada@example.org', groups: ['developers'] },
  };
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: 'pages',
        token_endpoint_auth_method: 'none',
        redirect_uris: [redirectUri],
        grant_types: ['authorization_code'],
        response_types: ['code'],
      },
      {
        client_id: 'helper',
        token_endpoint_auth_method: 'none',
        redirect_uris: [],
        response_types: [],
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
      },
      {
        client_id: 'robot',
        client_secret: 'for-tests-on-loopback-only',
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials'],
      },
    ],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'groups'],
    },
    scopes: ['openid', 'email', 'profile', 'groups'],
    conformIdTokenClaims: false,
    cookies: { keys: [randomUUID()] },
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        // A resource has to be a URI; the audience in its tokens need not.
        defaultResource: () => 'urn:refwarden:service',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '',
          audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    ttl: { IdToken: 600, Session: 600, Grant: 600, Interaction: 600, DeviceCode: 600 },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email_verified: true, ...people[id] }),
    }),
  });
  provider.on('server_error', (_, error) => console.error(error));
  handler = provider.callback();
}

const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/test/rotate') {
    addKey();
    build();
    response.end('rotated\n');
  } else if (request.method === 'POST' && request.url === '/test/retire') {
    keys.splice(1);
    build();
    response.end('retired\n');
  } else {
    handler(request, response);
  }
});
server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  addKey();
  build();
  console.log(issuer);
});
// Ends with the test that started it.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
