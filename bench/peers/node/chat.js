// Chat server on Node's net module: node chat.js PORT
'use strict';

const net = require('node:net');

const lineMax = 1024;
const unsentMax = 1024 * 1024;
const newline = 10;

const members = new Set();

function broadcast(lines) {
    for (const member of members) {
        member.cork(); // what is written until uncork() is sent at once
        for (const line of lines) member.write(line);
        member.uncork();
        if (member.writableLength > unsentMax) leave(member);
    }
}

function leave(member) {
    members.delete(member);
    member.destroy();
}

const server = net.createServer({ noDelay: true }, (socket) => {
    let rest = Buffer.alloc(0); // an unfinished line
    socket.on('data', (chunk) => {
        const received = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
        const lines = [];
        let begin = 0;
        for (let end; (end = received.indexOf(newline, begin)) >= 0 && end - begin <= lineMax; begin = end + 1)
            lines.push(received.subarray(begin, end + 1));
        rest = received.subarray(begin);
        broadcast(lines);
        if (rest.length > lineMax) leave(socket);
    });
    socket.on('error', () => {}); // a reset: it closes by itself
    socket.on('end', () => members.delete(socket));
    socket.on('close', () => members.delete(socket));
    members.add(socket);
});
server.listen({ host: '127.0.0.1', port: Number(process.argv.at(-1)), backlog: 4096 });
