-- A person's keys in one row, wrapped as one by the next rotation, and beside them what lookups they
-- have: what changes with every epoch lies together. Names are put in as in 0001.

SET LOCAL ROLE {owner};
SET LOCAL search_path = {keyring};

ALTER TABLE {keyring}.person ADD COLUMN keys bytea;             -- none from the fence on
ALTER TABLE {keyring}.person ADD COLUMN lookups bytea NOT NULL DEFAULT '';  -- kinds and values

-- Nought, and then each class with its key as it was. No key is at hand here to wrap them as one.
UPDATE {keyring}.person SET keys = k.keys FROM (
    SELECT person, '\x00'::bytea || string_agg(substr(int2send(class), 2) || wrapped, '') AS keys
    FROM {keyring}.person_key WHERE class < 8 GROUP BY person
) k WHERE id = k.person;
UPDATE {keyring}.person SET lookups = l.lookups FROM (
    SELECT person, string_agg(int2send(kind) || value, '') AS lookups
    FROM {keyring}.lookup GROUP BY person
) l WHERE id = l.person;

-- Those that others have taken the place of, under the class plus eight times their epoch.
DELETE FROM {keyring}.person_key WHERE class < 8;
ALTER TABLE {keyring}.person_key RENAME TO retired_key;

-- Whose a row is for, and of which kind, the list says.
DROP INDEX {keyring}.lookup_of_person;
ALTER TABLE {keyring}.lookup DROP COLUMN kind;
RESET ROLE;
