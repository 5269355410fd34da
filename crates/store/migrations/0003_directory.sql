-- The directory group: users, what proves who they are, and where to find them.

CREATE TABLE users (
    id            UUID    NOT NULL PRIMARY KEY,
    name          TEXT    COLLATE "C" NOT NULL UNIQUE,
    role          TEXT    NOT NULL,
    disabled      BOOLEAN NOT NULL,
    password_hash TEXT,
    created_at    BIGINT  NOT NULL
);

-- Which rooms a user is a member of: an index over the room group, kept by the transaction that changes it.
CREATE TABLE user_rooms (
    user_id UUID NOT NULL,
    room    UUID NOT NULL,
    PRIMARY KEY (user_id, room)
);

CREATE TABLE logins (
    id           UUID    NOT NULL PRIMARY KEY,
    user_id      UUID    NOT NULL REFERENCES users (id),
    refresh_hash BYTEA   NOT NULL,
    expires_at   BIGINT  NOT NULL,
    ended        BOOLEAN NOT NULL
);

CREATE INDEX logins_user ON logins (user_id);
