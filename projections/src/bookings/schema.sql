-- One row per booking, as it stands. What is searched has a column; what is only shown is JSON.
-- Instants are microseconds since 1970.
CREATE TABLE booking (
    id INTEGER PRIMARY KEY,
    status TEXT NOT NULL,
    service INTEGER NOT NULL,
    resource_group INTEGER NOT NULL,
    start_at INTEGER NOT NULL,
    end_at INTEGER NOT NULL,
    zone TEXT NOT NULL,
    version INTEGER NOT NULL,
    held TEXT NOT NULL,
    parts TEXT NOT NULL,
    facets TEXT NOT NULL,
    price TEXT,
    policy BLOB,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    cancelled TEXT,
    content_erased INTEGER NOT NULL,
    -- Of which classes something was said that nobody has ended since.
    details INTEGER NOT NULL,
    health INTEGER NOT NULL
) STRICT;

CREATE INDEX booking_by_start ON booking (start_at);

-- What retention looks for, from the longest over.
CREATE INDEX booking_details ON booking (end_at, id) WHERE details;
CREATE INDEX booking_health ON booking (end_at, id) WHERE health;

-- Whose booking it is, as far as anybody here can say.
CREATE TABLE part (
    handle INTEGER PRIMARY KEY,
    booking INTEGER NOT NULL
) STRICT;

-- Every booking of a resource, also those that hold it no more.
CREATE TABLE booking_resource (
    resource INTEGER NOT NULL,
    start_at INTEGER NOT NULL,
    booking INTEGER NOT NULL,
    PRIMARY KEY (resource, start_at, booking)
) STRICT, WITHOUT ROWID;
