-- What can be booked, and the tenant's policy, each as the newest entry has it.
CREATE TABLE resource_group (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE resource (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    retired INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE service (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    retired INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE policy (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    body TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;
