-- One row per registration: where its newest contact seal lies.
CREATE TABLE client (
    registration INTEGER PRIMARY KEY,
    handle INTEGER NOT NULL,
    position INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    version INTEGER NOT NULL,
    registered_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX client_by_handle ON client (handle);
