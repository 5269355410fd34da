-- One row: the history that cursors belong to.

CREATE TABLE identity (
    id    BIGINT NOT NULL PRIMARY KEY,
    epoch TEXT   NOT NULL
);
