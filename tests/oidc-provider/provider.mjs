// An OpenID provider on loopback, for tests: discovery, code with PKCE, device flow, client
// credentials. `POST /test/rotate` makes a new signing key and keeps the old one published, as a
// provider does while tokens are in flight; `POST /test/retire` drops all but the newest.
//
// The clients `github-job` and `gitlab-job` get tokens with the claims that were last posted for them
// to `POST /test/job`, over those that such a job's token has.
//
// Prints its URL in one line. Arguments: the redirect URI of the pages' client, and the audience
// of access tokens.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

const [redirectUri, audience] = process.argv.slice(2);
const keys = [];
// Names and forms of claims: docs.github.com, "OpenID Connect reference"; docs.gitlab.com, "ID token
// authentication".
const jobs = {
  'github-job': {
    sub: 'repo:octo-org/octo-repo:ref:refs/heads/main',
    repository: 'octo-org/octo-repo',
    repository_id: '74',
    repository_owner: 'octo-org',
    repository_owner_id: '65',
    repository_visibility: 'private',
    ref: 'refs/heads/main',
    ref_type: 'branch',
    ref_protected: 'true',
    sha: 'd'.repeat(40),
    head_ref: '',
    base_ref: '',
    workflow: 'release',
    workflow_ref: 'octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main',
    job_workflow_ref: 'octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main',
    event_name: 'push',
    run_id: '1001',
    run_number: '10',
    run_attempt: '2',
    runner_environment: 'github-hosted',
    actor: 'octocat',
    actor_id: '12',
  },
  'gitlab-job': {
    sub: 'project_path:my-group/my-project:ref_type:branch:ref:main',
    namespace_id: '72',
    namespace_path: 'my-group',
    project_id: '20',
    project_path: 'my-group/my-project',
    project_visibility: 'private',
    user_id: '1',
    user_login: 'sample-user',
    user_email: 'sample-user@example.org',
    user_access_level: 'developer',
    pipeline_id: '574',
    pipeline_source: 'push',
    job_id: '302',
    ref: 'main',
    ref_type: 'branch',
    ref_path: 'refs/heads/main',
    ref_protected: 'true',
    groups_direct: ['my-group'],
    runner_id: 1,
    runner_environment: 'gitlab-hosted',
    sha: 'd'.repeat(40),
    ci_config_ref_uri: 'gitlab.example.org/my-group/my-project//.gitlab-ci.yml@refs/heads/main',
    ci_config_sha: 'd'.repeat(40),
  },
};
const posted = {};
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
      ...Object.keys(jobs).map((client_id) => ({
        client_id,
        client_secret: 'for-tests-on-loopback-only',
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials'],
      })),
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
    formats: {
      customizers: {
        jwt: (_, token, { payload }) => {
          if (jobs[token.clientId]) {
            delete payload.client_id;
            Object.assign(payload, jobs[token.clientId], posted[token.clientId]);
          }
        },
      },
    },
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
  } else if (request.method === 'POST' && request.url === '/test/job') {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      Object.assign(posted, JSON.parse(Buffer.concat(parts)));
      response.end('posted\n');
    });
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
