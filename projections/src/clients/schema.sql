-- One row per registration: where its newest contact seal lies, and what restricts it.
CREATE TABLE client (
    registration INTEGER PRIMARY KEY,
    handle INTEGER NOT NULL,
    position INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    version INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    restricted_since INTEGER,
    restricted_ground TEXT,
    restricted_until TEXT
) STRICT;

CREATE UNIQUE INDEX client_by_handle ON client (handle);

-- What holds a registration: nothing of the person is ended meanwhile.
CREATE TABLE legal_hold (
    registration INTEGER NOT NULL,
    ground TEXT NOT NULL,
    class TEXT NOT NULL,            -- '' for all
    since INTEGER NOT NULL,
    PRIMARY KEY (registration, ground, class)
) STRICT, WITHOUT ROWID;
