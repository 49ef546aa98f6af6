-- What is held now, buffers included; what is given up has no row. `reach` is the hold's length in
-- days, rounded up to a power of two, so that a search knows how far back a hold that still lasts
-- can have begun, and a season's let does not widen the search for an hour's visit.
-- Instants are microseconds since 1970.
CREATE TABLE held (
    resource INTEGER NOT NULL,
    reach INTEGER NOT NULL,
    from_at INTEGER NOT NULL,
    booking INTEGER NOT NULL,
    until_at INTEGER NOT NULL,
    units INTEGER NOT NULL,
    PRIMARY KEY (resource, reach, from_at, booking)
) STRICT, WITHOUT ROWID;

CREATE INDEX held_by_booking ON held (booking);
