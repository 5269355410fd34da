// Hubbub under k6, for teams whose tests live there: JSON sub-protocol, one connection for each virtual user.
//
//   hubbub user add ada --password-stdin <<< 'correct horse'           # a user, or several
//   k6 run -e URL=wss://localhost:8443 -e USER=ada -e PASSWORD='correct horse' hubbub.js
//   hubbub token mint --user ada > tokens.txt; hubbub token mint --user grace >> tokens.txt
//   k6 run -e URL=wss://localhost:8443 -e TOKENS=tokens.txt -e VUS=50 -e ROOMS=5 -e DURATION=30s hubbub.js
//
// Virtual users take the tokens in turn; one user may hold 10 connections and send 30 messages a minute, unless the
// server's `limits.*` say otherwise. -e INSECURE=1 trusts a self-signed certificate. Each virtual user makes its room (a
// room that is there is fine), joins, subscribes, and sends every INTERVAL_MS. `hubbub_delivery_ms` goes from the moment
// before a send to its delivery at every follower, `hubbub_ack_ms` to its answer: both by the clock of this one k6
// process. k6 counts from the moment it really sent, not from the one it meant to, and does not know whether a message
// was lost: use `hubbub-load` where that matters, and for more than a few thousand connections.

import http from 'k6/http';
import exec from 'k6/execution';
import { check, fail } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';
import { setInterval, clearInterval, setTimeout } from 'k6/timers';
import { WebSocket } from 'k6/websockets';

const URL = (__ENV.URL || 'wss://localhost:8443').replace(/\/+$/, '');
const HTTP_URL = URL.replace(/^ws/, 'http');
const VUS = Number(__ENV.VUS || 10);
const ROOMS = Number(__ENV.ROOMS || 2);
const INTERVAL_MS = Number(__ENV.INTERVAL_MS || 3000);
const BODY_BYTES = Number(__ENV.BODY_BYTES || 128);
const SECONDS = seconds(__ENV.DURATION || '30s');
const TOKENS = __ENV.TOKENS ? open(__ENV.TOKENS).split('\n').map((line) => line.trim()).filter(Boolean) : [];

// How long answers and deliveries are waited for at the end.
const SETTLE_MS = 2000;

const delivery = new Trend('hubbub_delivery_ms', true);
const ack = new Trend('hubbub_ack_ms', true);
const ready = new Trend('hubbub_ready_ms', true);
const delivered = new Counter('hubbub_delivered');
const sent = new Counter('hubbub_sent');
const refused = new Rate('hubbub_refused');

export const options = {
  insecureSkipTLSVerify: Boolean(__ENV.INSECURE),
  scenarios: {
    chat: { executor: 'per-vu-iterations', vus: VUS, iterations: 1, maxDuration: `${SECONDS + 60}s` },
  },
  thresholds: {
    checks: ['rate==1'],
    hubbub_refused: ['rate==0'],
    hubbub_delivery_ms: [`p(99)<${__ENV.P99_MS || 100}`],
  },
};

function seconds(text) {
  const [, number, unit] = /^(\d+)(s|m|h)$/.exec(text) || fail(`DURATION is like 30s or 5m, not ${text}`);
  return Number(number) * { s: 1, m: 60, h: 3600 }[unit];
}

// Once, before everything: tokens from the file, else one by name and password.
export function setup() {
  if (TOKENS.length > 0) {
    return { tokens: TOKENS };
  }
  if (!__ENV.USER || !__ENV.PASSWORD) {
    fail('who connects? -e TOKENS=FILE, or -e USER=NAME -e PASSWORD=...');
  }
  const answer = http.post(
    `${HTTP_URL}/v1/auth/login`,
    JSON.stringify({ name: __ENV.USER, password: __ENV.PASSWORD }),
    { headers: { 'Content-Type': 'application/json' } },
  );
  if (answer.status !== 200 && answer.status !== 201) {
    fail(`the login was refused: ${answer.status} ${answer.body}`);
  }
  return { tokens: [answer.json('access_token')] };
}

export default function (data) {
  const number = exec.vu.idInTest - 1;
  const room = `k6-${number % ROOMS}`;
  const params = { headers: { Authorization: `Bearer ${data.tokens[number % data.tokens.length]}` } };
  const socket = new WebSocket(`${URL}/v1/ws`, 'hubbub.v1.json', params);
  const waiting = new Map();
  const opened = Date.now();
  let timer = null;
  let nextId = 1;
  let isEnding = false;
  let isFollowing = false;

  // One command; `then` gets its answer.
  function ask(command, then) {
    const id = nextId++;
    waiting.set(id, then);
    socket.send(JSON.stringify({ id, ...command }));
  }

  function say() {
    const at = Date.now();
    const id = `${exec.vu.idInTest}-${at}-${nextId}`;
    ask({ cmd: 'message.send', room, client_msg_id: id, body: `k6 ${at} `.padEnd(BODY_BYTES, '.') }, (answer) => {
      refused.add(answer.err ? 1 : 0);
      if (answer.ok) {
        ack.add(Date.now() - at);
      }
    });
    sent.add(1);
  }

  function enter() {
    ready.add(Date.now() - opened);
    ask({ cmd: 'room.create', name: room, kind: 'public' }, () => {
      ask({ cmd: 'room.join', room }, (joined) => {
        check(joined, { 'joined the room': (answer) => Boolean(answer.ok) });
        ask({ cmd: 'room.subscribe', room }, (followed) => {
          isFollowing = check(followed, { 'follows the room': (answer) => Boolean(answer.ok) });
          // Not all in the same moment.
          setTimeout(() => {
            if (!isEnding) {
              timer = setInterval(say, INTERVAL_MS);
            }
          }, Math.random() * INTERVAL_MS);
        });
      });
    });
    setTimeout(() => {
      isEnding = true;
      if (timer !== null) {
        clearInterval(timer);
      }
      setTimeout(() => socket.close(1000), SETTLE_MS);
    }, SECONDS * 1000);
  }

  socket.onmessage = (message) => {
    const frame = JSON.parse(message.data);
    if (frame.re !== undefined) {
      const then = waiting.get(frame.re);
      waiting.delete(frame.re);
      if (then) {
        then(frame);
      } else if (frame.err) {
        console.warn(`${frame.err.name}: ${frame.err.message}`);
      }
    } else if (frame.ev === 'message.sent') {
      const mark = /^k6 (\d+) /.exec(frame.data.body);
      if (mark) {
        delivered.add(1);
        delivery.add(Date.now() - Number(mark[1]));
      }
    } else if (frame.ev === 'session.ready') {
      enter();
    }
  };
  socket.onerror = (event) => {
    check(null, { 'no error on the connection': () => false });
    console.warn(`the connection failed: ${event.error}`);
  };
  socket.onclose = (event) => {
    isEnding = true;
    if (timer !== null) {
      clearInterval(timer);
    }
    check(event, {
      'the connection lasted to the end': () => isFollowing && event.code === 1000,
      'every command was answered': () => waiting.size === 0,
    });
  };
}
