-- One row per consent or acceptance; an acceptance of a policy has no purpose.
CREATE TABLE consent (
    id INTEGER PRIMARY KEY,
    handle INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    purpose TEXT,
    medium TEXT,
    occasion TEXT NOT NULL,
    text_hash BLOB NOT NULL,
    text_locale TEXT NOT NULL,
    given_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    withdrawn_at INTEGER
) STRICT;

CREATE INDEX consent_by_handle ON consent (handle);
