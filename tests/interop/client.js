// tuf-js as it is: refresh, then download every target; stdin has the settings, stdout the SHA-256 of each download.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const { Updater } = require('tuf-js');

async function main() {
  const { url, folder, targets } = JSON.parse(fs.readFileSync(0, 'utf8'));
  const updater = new Updater({
    metadataDir: folder,
    metadataBaseUrl: `${url}/metadata`,
    targetDir: folder,
    targetBaseUrl: url,
  });
  await updater.refresh();
  const found = {};
  for (const path of targets) {
    const target = await updater.getTargetInfo(path);
    if (target) {
      const file = await updater.downloadTarget(target);
      found[path] = crypto.createHash('sha256').update(fs.readFileSync(file)).digest('hex');
    }
  }
  console.log(JSON.stringify(found));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
