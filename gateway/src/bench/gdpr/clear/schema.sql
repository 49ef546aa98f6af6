-- What a booking system without privacy would keep beside its events, to be read from.

CREATE TABLE c_person (
    id            INTEGER PRIMARY KEY,
    state         TEXT NOT NULL,
    name          TEXT,
    email         TEXT,
    phone         TEXT,
    address       TEXT,
    registration  INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    restricted_at INTEGER
) STRICT;
CREATE INDEX c_person_email ON c_person (email);
CREATE INDEX c_person_phone ON c_person (phone);

CREATE TABLE c_booking (
    id             INTEGER PRIMARY KEY,
    person         INTEGER,
    service        INTEGER NOT NULL,
    resource       INTEGER NOT NULL,
    status         TEXT NOT NULL,
    start_at       INTEGER NOT NULL,
    end_at         INTEGER NOT NULL,
    channel        TEXT NOT NULL,
    note           TEXT,
    created_at     INTEGER NOT NULL,
    cancelled_at   INTEGER,
    content_erased INTEGER NOT NULL,
    version        INTEGER NOT NULL
) STRICT;
CREATE INDEX c_booking_start ON c_booking (start_at);
CREATE INDEX c_booking_service ON c_booking (service, start_at);
CREATE INDEX c_booking_status ON c_booking (status, start_at);
CREATE INDEX c_booking_person ON c_booking (person, start_at);
CREATE INDEX c_booking_end ON c_booking (end_at) WHERE note IS NOT NULL;

CREATE TABLE c_consent (
    id           INTEGER PRIMARY KEY,
    person       INTEGER,
    purpose      TEXT,
    medium       TEXT,
    occasion     TEXT NOT NULL,
    hash         TEXT NOT NULL,
    locale       TEXT NOT NULL,
    given_at     INTEGER NOT NULL,
    withdrawn_at INTEGER
) STRICT;
CREATE INDEX c_consent_person ON c_consent (person);

CREATE TABLE c_given (
    person    INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (person, recipient)
) STRICT, WITHOUT ROWID;

CREATE TABLE c_service (
    id      INTEGER PRIMARY KEY,
    body    TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE c_request (
    id     INTEGER PRIMARY KEY,
    person INTEGER NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

CREATE TABLE c_key (
    hash   BLOB PRIMARY KEY,
    role   TEXT NOT NULL,
    person INTEGER
) STRICT, WITHOUT ROWID;
