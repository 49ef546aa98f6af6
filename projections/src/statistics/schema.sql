-- How many bookings have these facets and stand there; rows without a booking do not exist.
CREATE TABLE statistic (
    day TEXT NOT NULL,
    hour INTEGER NOT NULL,
    resource_group INTEGER NOT NULL,
    service INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    lead TEXT NOT NULL,
    party TEXT NOT NULL,
    channel TEXT NOT NULL,
    nth TEXT NOT NULL,
    bookings INTEGER NOT NULL CHECK (bookings > 0),
    PRIMARY KEY (day, hour, resource_group, service, outcome, lead, party, channel, nth)
) STRICT, WITHOUT ROWID;
