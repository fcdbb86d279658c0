// Echo server on Node's net module: node echo.js PORT
'use strict';

const net = require('node:net');

const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {}); // a reset: it closes by itself
    socket.pipe(socket);
});
server.listen({ host: '127.0.0.1', port: Number(process.argv.at(-1)), backlog: 4096 });
