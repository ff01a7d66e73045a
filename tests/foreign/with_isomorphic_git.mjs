// A clone made and kept by isomorphic-git. The token is in TOKEN.
import fs from 'node:fs';
import path from 'node:path';
import git from 'isomorphic-git';
import http from 'isomorphic-git/http/node';

const onAuth = () => ({ username: 'x', password: process.env.TOKEN });
const onMessage = (text) => process.stderr.write(text + '\n');
const author = { name: 'Ada', email: 'ada@example.org' };

const commands = {
  clone: (url, dir) => git.clone({ fs, http, dir, url, onAuth, singleBranch: false }),
  async commit(dir, filepath, line, message) {
    fs.appendFileSync(path.join(dir, filepath), line + '\n');
    await git.add({ fs, dir, filepath });
    await git.commit({ fs, dir, message, author });
  },
  async push(dir, remoteRef) {
    const ref = await git.currentBranch({ fs, dir });
    const done = await git.push({ fs, http, dir, remote: 'origin', ref, remoteRef, onAuth, onMessage });
    if (!done.ok) throw new Error(JSON.stringify(done));
  },
  fetch: (dir) => git.fetch({ fs, http, dir, remote: 'origin', onAuth, tags: true }),
};

const [command, ...rest] = process.argv.slice(2);
commands[command](...rest).catch((error) => {
  process.stderr.write(`${error}\n${error.data ? JSON.stringify(error.data) : ''}\n`);
  process.exit(1);
});
