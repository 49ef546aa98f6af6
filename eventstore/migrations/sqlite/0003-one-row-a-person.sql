-- A person's keys in one row, wrapped as one by the next rotation, and beside them what lookups they
-- have: what changes with every epoch lies together.

ALTER TABLE person ADD COLUMN keys BLOB;                        -- none from the fence on
ALTER TABLE person ADD COLUMN lookups BLOB NOT NULL DEFAULT x'';  -- kinds and values, as in `lookup`

-- Nought, and then each class with its key as it was. No key is at hand here to wrap them as one.
UPDATE person SET keys = (
    SELECT unhex('00' || group_concat(printf('%02x', class) || hex(wrapped), ''))
    FROM person_key WHERE person = person.id AND class < 8
);
UPDATE person SET lookups = (
    SELECT unhex(group_concat(printf('%04x', kind) || hex(value), ''))
    FROM lookup WHERE person = person.id
) WHERE id IN (SELECT person FROM lookup);

-- Those that others have taken the place of, under the class plus eight times their epoch.
CREATE TABLE retired_key (
    person  INTEGER NOT NULL,
    class   INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    PRIMARY KEY (person, class)
) STRICT, WITHOUT ROWID;
INSERT INTO retired_key SELECT person, class, wrapped FROM person_key WHERE class >= 8;
DROP TABLE person_key;

-- Whose a row is for, and of which kind, the list says.
DROP INDEX lookup_of_person;
ALTER TABLE lookup DROP COLUMN kind;
