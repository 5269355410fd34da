// A Socket.IO server to compare with: it joins rooms and passes messages on, and does nothing else.
//
// Settings by environment: HOST (127.0.0.1), PORT (3000; 0 is any free one), REDIS_URL (none: one node alone).
// Must never keep a message: what is measured is the way through the server.

import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Redis } from "ioredis";
import { Server } from "socket.io";

const { HOST = "127.0.0.1", PORT = "3000", REDIS_URL } = process.env;

const redis = REDIS_URL ? [new Redis(REDIS_URL), new Redis(REDIS_URL)] : [];

const http = createServer((_request, response) => response.end("ok\n"));
const io = new Server(http, {
  // Long polling first, as a browser does it, would measure something else.
  transports: ["websocket"],
  perMessageDeflate: false,
  serveClient: false,
  // With two connections, since one that subscribes cannot publish.
  ...(redis.length > 0 && { adapter: createAdapter(redis[0], redis[1]) }),
});

io.on("connection", (socket) => {
  // Joining is a promise with adapters that have to tell others; the reader is confirmed after it.
  socket.on("subscribe", async (room, confirm) => {
    await socket.join(room);
    confirm?.();
  });
  // Confirmed when the adapter has it: Socket.IO itself promises no more, and stores nothing. The sender gets the
  // message as well if it has joined the room.
  socket.on("publish", (room, body, confirm) => {
    io.to(room).emit("message", room, body);
    confirm?.();
  });
});

http.listen(Number(PORT), HOST, () => {
  const { address, port } = http.address();
  console.log(`listening on ws://${address}:${port}/socket.io/?EIO=4&transport=websocket`);
});

const stop = () => {
  // Closing also cuts the clients; a second signal does not wait for them.
  io.close(() => redis.forEach((connection) => connection.disconnect()));
  process.once("SIGINT", () => process.exit(1)).once("SIGTERM", () => process.exit(1));
};
process.once("SIGINT", stop).once("SIGTERM", stop);
