-- What an erasure waits for and leaves behind, and who is told of it.

ALTER TABLE privacy_request ADD COLUMN course TEXT NOT NULL DEFAULT '{}';
ALTER TABLE privacy_request ADD COLUMN receipt TEXT;
-- Few are open at any time, among all there have been.
CREATE INDEX privacy_request_open ON privacy_request (id) WHERE decided_at IS NULL
    OR (status = 'done' AND receipt IS NULL AND course <> '{}');

-- For whom a program reads, where it is not the tenant's own.
ALTER TABLE api_key ADD COLUMN recipient TEXT;

-- Who was given something of whose. Goes with the person.
CREATE TABLE given (
    person    INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    since     INTEGER NOT NULL,
    PRIMARY KEY (person, recipient)
) STRICT, WITHOUT ROWID;

-- What recipients are to be told; made with the entry that it tells of.
CREATE TABLE notice (
    id              INTEGER PRIMARY KEY,
    recipient       TEXT NOT NULL,
    kind            TEXT NOT NULL,          -- erased, rectified, restricted, unrestricted
    person          INTEGER,                -- none once they are erased and the recipient knows
    position        INTEGER NOT NULL,       -- of the entry
    made_at         INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_at         INTEGER NOT NULL,
    acknowledged_at INTEGER
) STRICT;
CREATE INDEX notice_waiting ON notice (next_at) WHERE acknowledged_at IS NULL;
CREATE INDEX notice_at ON notice (position);
