-- The ledger and the keyring of one tenant, in one file, so that an entry and its keys are one commit.
-- Identifiers count up; random places in an index would cost several times as much.

-- The ledger ----------------------------------------------------------------------------------

CREATE TABLE head (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    tenant      BLOB NOT NULL,              -- 16 random bytes, for good
    origin      INTEGER NOT NULL,           -- 1, and one more after each loss that was accepted
    size        INTEGER NOT NULL,           -- how many entries; the next position
    frontier    BLOB NOT NULL,              -- right edge of the tree
    recorded_at INTEGER NOT NULL,           -- of the last entry, microseconds
    indexed     INTEGER NOT NULL,           -- up to here both tag tables are complete
    next_handle INTEGER NOT NULL,
    next_person INTEGER NOT NULL
) STRICT;

-- Entry bytes as hashed. The leaf covers all of them, seals by their hash.
CREATE TABLE entry (
    position INTEGER PRIMARY KEY,
    bytes    BLOB NOT NULL,
    leaf     BLOB NOT NULL
) STRICT;

CREATE TRIGGER entry_is_not_updated BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END;
CREATE TRIGGER entry_is_not_deleted BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
-- Also what keeps REPLACE from putting one entry in the place of another.
CREATE TRIGGER entry_has_the_next_position BEFORE INSERT ON entry
WHEN NEW.position IS NOT coalesce((SELECT max(position) + 1 FROM entry), 0)
BEGIN SELECT RAISE(ABORT, 'entries are only added, at the next position'); END;

-- Ciphertext beside the log; may be deleted, and every proof still verifies. One integer for both
-- parts of its place, for rows with an integer key are appended without rebalancing the tree.
CREATE TABLE seal (
    id         INTEGER PRIMARY KEY,         -- position * 65536 + n
    ciphertext BLOB NOT NULL,
    position   INTEGER AS (id >> 16),
    n          INTEGER AS (id & 65535)
) STRICT;

-- What entries are found by. Derived from them, written late.
CREATE TABLE tag (
    tag      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tag, position)
) STRICT, WITHOUT ROWID;

-- Repeats of a request. Deleted after 24 hours.
CREATE TABLE idempotency (
    day      INTEGER NOT NULL,
    key      BLOB NOT NULL,
    body     BLOB NOT NULL,
    first    INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (day, key)
) STRICT, WITHOUT ROWID;

-- The keyring ---------------------------------------------------------------------------------

CREATE TABLE tenant_key (
    epoch   INTEGER PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT;

-- Keys of the tenant's own under its tenant key: for public ids, lookups, repeats.
CREATE TABLE secret (
    name    TEXT PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE person (
    id             INTEGER PRIMARY KEY,
    state          INTEGER NOT NULL,        -- 1 live, 2 restricted, 3 being erased, 4 erased
    fence          BLOB,                    -- unknown to anybody until it is published
    fields         INTEGER,                 -- which contact fields are given
    registration   INTEGER,
    contact_at     INTEGER,                 -- position of the newest contact seal
    contact_handle INTEGER
) STRICT;

CREATE TABLE person_key (
    person  INTEGER NOT NULL,
    class   INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    PRIMARY KEY (person, class)
) STRICT, WITHOUT ROWID;

-- Keys that end with a period instead of a person: fiscal years, years of access records.
CREATE TABLE period_key (
    class   INTEGER NOT NULL,
    year    INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    PRIMARY KEY (class, year)
) STRICT, WITHOUT ROWID;

-- Also the link: whose handle. A row without a key is a tombstone: what was sealed is erased.
CREATE TABLE data_key (
    id      INTEGER PRIMARY KEY,            -- handle * 8 + class
    person  INTEGER,
    year    INTEGER,                        -- of the period key it hangs on, if not on a person's
    wrapped BLOB,
    handle  INTEGER AS (id >> 3),
    class   INTEGER AS (id & 7)
) STRICT;

-- A person's entries: a cache made from entries and links, written late, in no backup.
CREATE TABLE person_tag (
    person   INTEGER NOT NULL,
    until    INTEGER NOT NULL,              -- end of the booking in seconds; 0 for other matters
    position INTEGER NOT NULL,
    handle   INTEGER NOT NULL,
    booking  INTEGER,
    seals    INTEGER NOT NULL,              -- how many seals the person's erasure would end
    year     INTEGER NOT NULL,
    visits   INTEGER NOT NULL,              -- 1 for a booking, -1 where one was given up
    PRIMARY KEY (person, until, position, handle)
) STRICT, WITHOUT ROWID;

CREATE TABLE lookup (
    value  BLOB NOT NULL,
    person INTEGER NOT NULL,
    kind   INTEGER NOT NULL,                -- 1 mail, 2 phone, 3 national id, 4 reference
    PRIMARY KEY (value, person)
) STRICT, WITHOUT ROWID;
CREATE INDEX lookup_of_person ON lookup (person);

-- What clients, staff and programs sign in with; only hashes.
CREATE TABLE api_key (
    id         INTEGER PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,
    role       TEXT NOT NULL,
    label      TEXT NOT NULL,
    person     INTEGER,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE privacy_request (
    id           INTEGER PRIMARY KEY,
    kind         TEXT NOT NULL,
    person       INTEGER,
    requested_at INTEGER NOT NULL,
    decided_at   INTEGER,
    status       TEXT NOT NULL,
    fence_at     INTEGER                    -- position of the fence
) STRICT;

-- Erasures that a crash may have interrupted.
CREATE INDEX person_being_erased ON person (id) WHERE state = 3;
