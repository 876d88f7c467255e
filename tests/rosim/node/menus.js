// routeros-client at work: HOST PORT PASSWORD; prints what each step gave as one JSON object. Asked by test_clients_node.py.
'use strict';
const { RouterOSClient } = require('routeros-client');

const [host, port, password] = process.argv.slice(2);
const refusal = (promise) => promise.then(() => 'taken', (error) => error.message || String(error.errno));

async function main() {
    const api = new RouterOSClient({ host, port: Number(port), user: 'admin', password, timeout: 10 });
    api.on('error', () => {}); // what matters comes as a rejection
    const client = await api.connect();
    const found = { identity: (await client.menu('/system identity').getOnly()).name };
    await client.menu('/system identity').set({ name: 'from-node' });
    found.renamed = (await client.menu('/system identity').getOnly()).name;
    const rules = client.menu('/ip firewall filter');
    const first = await rules.add({ chain: 'forward', action: 'accept', protocol: 'tcp', dstPort: 80 });
    const second = await rules.add({ chain: 'input', action: 'drop', comment: 'last' });
    await rules.where('id', first.id).update({ srcAddress: '192.0.2.5' });
    found.rules = (await rules.get()).map(({ chain, action, srcAddress, dstPort }) => ({ chain, action, srcAddress, dstPort }));
    found.selected = await rules.only(['chain', 'comment']).where('comment', 'last').get();
    found.either = (await rules.where('chain', 'input').orWhere('chain', 'forward').get()).length;
    await rules.move(second.id, first.id);
    found.order = (await rules.get()).map((rule) => rule.chain);
    const [model] = await rules.where('comment', 'last').getModel();
    await model.disable();
    found.disabled = model.disabled;
    await model.enable();
    found.enabled = model.disabled;
    await model.update({ comment: 'by a model' });
    found.comment = model.comment;
    await model.unset('comment');
    found.unset = (await rules.where('comment', 'by a model').get()).length;
    await model.remove();
    found.refused = await refusal(rules.add({ chain: 'forward', action: 'dance' }));
    await rules.where('chain', 'forward').remove();
    found.left = (await rules.get()).length;
    api.close();
    return found;
}

main().then((found) => console.log(JSON.stringify(found)), (error) => { console.error(error); process.exitCode = 1; });
