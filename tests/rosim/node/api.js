// node-routeros at work: HOST PORT PASSWORD; prints what each step gave as one JSON object. Asked by test_clients_node.py.
'use strict';
const { RouterOSAPI } = require('node-routeros');

const [host, port, password] = process.argv.slice(2);
const connect = (with_password) => {
    const api = new RouterOSAPI({ host, port: Number(port), user: 'admin', password: with_password, timeout: 10 });
    api.on('error', () => {}); // what matters comes as a rejection
    return api.connect().then(() => api);
};
const refusal = (promise) => promise.then(() => 'taken', (error) => error.message || String(error.errno));

async function changes(api) {
    // Changes of a menu as they are told: who listens sees what another session does.
    const told = [];
    let enough;
    const all = new Promise((resolve) => { enough = resolve; });
    const stream = api.stream('/ip/firewall/address-list/listen', (error, packet) => {
        if (error) {
            told.push({ error: error.message });
            return enough();
        }
        told.push(...[packet].flat());  // it tells an empty list when nothing has come for a while
        return told.length < 3 ? undefined : enough();
    });
    const other = await connect(password);
    await api.write('/system/identity/print');  // answered behind listen, which has begun then
    const [{ ret }] = await other.write('/ip/firewall/address-list/add', ['=list=told', '=address=192.0.2.1']);
    await other.write('/ip/firewall/address-list/set', ['=.id=' + ret, '=comment=changed']);
    await other.write('/ip/firewall/address-list/remove', ['=.id=' + ret]);
    await all;
    await stream.stop();
    await other.close();
    return { id: ret, told };
}

async function main() {
    const found = { wrong: await refusal(connect(password + 'x')) };
    const api = await connect(password);
    const [{ ret }] = await api.write('/ip/address/add', ['=interface=ether2', '=address=192.0.2.9/24']);
    found.added = await api.write('/ip/address/print', ['?.id=' + ret, '=.proplist=.id,address,network,interface']);
    await api.write('/ip/address/set', ['=.id=' + ret, '=comment=grüße']);
    found.comment = await api.write('/ip/address/print', ['?comment=grüße', '=.proplist=address,comment']);
    found.or = await api.write('/interface/print', ['?name=ether1', '?name=ether3', '?#|', '=.proplist=name']);
    found.not = (await api.write('/interface/print', ['?name=ether1', '?#!', '=.proplist=name'])).map((row) => row.name);
    found.none = await api.write('/ip/address/print', ['?interface=ether5']);
    found.unknown_value = await refusal(api.write('/ip/address/add', ['=interface=ether99', '=address=192.0.2.8/24']));
    found.unknown_parameter = await refusal(api.write('/ip/address/add', ['=interface=ether2', '=address=192.0.2.8/24', '=color=red']));
    found.unknown_menu = await refusal(api.write('/ip/nothing/print'));
    found.unknown_item = await refusal(api.write('/ip/address/remove', ['=.id=*FFFF']));
    // Twenty commands under way at once, told apart by their tags.
    const names = Array.from({ length: 20 }, (_, i) => `t${i}`);
    await Promise.all(names.map((name) => api.write('/ip/pool/add', [`=name=${name}`, '=ranges=192.0.2.1-192.0.2.2'])));
    const answers = await Promise.all(names.map((name) => api.write('/ip/pool/print', ['?name=' + name])));
    found.tags = answers.every((rows, i) => rows.length === 1 && rows[0].name === names[i]);
    found.listen = await changes(api);
    await api.write('/ip/address/remove', ['=.id=' + ret]);
    found.left = await api.write('/ip/address/print');
    await api.close();
    return found;
}

main().then((found) => console.log(JSON.stringify(found)), (error) => { console.error(error); process.exitCode = 1; });
