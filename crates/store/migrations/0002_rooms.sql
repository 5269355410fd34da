-- The room group: everything that is keyed by a room. No statement joins it with the directory group.

CREATE TABLE rooms (
    id         UUID   NOT NULL PRIMARY KEY,
    name       TEXT   COLLATE "C" UNIQUE,
    kind       TEXT   NOT NULL,
    head       BIGINT NOT NULL,
    members    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Of direct rooms: a hash of the ids of their people, so that the same people get the same room.
    direct_key TEXT   COLLATE "C" UNIQUE
);

CREATE INDEX rooms_open ON rooms (id) WHERE kind IN ('public', 'announcement');

CREATE TABLE members (
    room      UUID NOT NULL REFERENCES rooms (id),
    user_id   UUID NOT NULL,
    user_name TEXT NOT NULL,
    role      TEXT NOT NULL,
    PRIMARY KEY (room, user_id)
);

-- The log: every durable change of a room, gapless from 1.
CREATE TABLE events (
    room    UUID   NOT NULL,
    seq     BIGINT NOT NULL,
    kind    TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    by_id   UUID   NOT NULL,
    by_name TEXT   NOT NULL,
    payload TEXT   NOT NULL,
    PRIMARY KEY (room, seq)
);

-- Messages in their present state.
CREATE TABLE messages (
    room          UUID   NOT NULL,
    seq           BIGINT NOT NULL,
    id            UUID   NOT NULL UNIQUE,
    at            BIGINT NOT NULL,
    by_id         UUID   NOT NULL,
    by_name       TEXT   NOT NULL,
    client_msg_id TEXT   COLLATE "C" NOT NULL,
    body          TEXT   NOT NULL,
    PRIMARY KEY (room, seq),
    UNIQUE (room, by_id, client_msg_id)
);
