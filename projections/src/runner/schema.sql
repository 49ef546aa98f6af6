-- Where each projection stands: the next position it needs, the leaf hash of the last entry it
-- took, and why it stopped, if it did.
CREATE TABLE projection (
    name TEXT NOT NULL PRIMARY KEY,
    next INTEGER NOT NULL,
    leaf BLOB,
    error TEXT
) STRICT, WITHOUT ROWID;
