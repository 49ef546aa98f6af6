-- What an erasure waits for and leaves behind, and who is told of it. Names are put in as in 0001.

SET LOCAL ROLE {owner};
SET LOCAL search_path = {keyring};

ALTER TABLE {keyring}.privacy_request ADD COLUMN course text NOT NULL DEFAULT '{}';
ALTER TABLE {keyring}.privacy_request ADD COLUMN receipt text;
-- Few are open at any time, among all there have been.
CREATE INDEX privacy_request_open ON {keyring}.privacy_request (id) WHERE decided_at IS NULL
    OR (status = 'done' AND receipt IS NULL AND course <> '{}');

-- For whom a program reads, where it is not the tenant's own.
ALTER TABLE {keyring}.api_key ADD COLUMN recipient text;

-- Who was given something of whose. Goes with the person.
CREATE TABLE {keyring}.given (
    person    int8 NOT NULL,
    recipient text NOT NULL,
    since     int8 NOT NULL,
    PRIMARY KEY (person, recipient)
);

-- What recipients are to be told; made with the entry that it tells of.
CREATE TABLE {keyring}.notice (
    id              int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient       text NOT NULL,
    kind            text NOT NULL,          -- erased, rectified, restricted, unrestricted
    person          int8,                   -- none once they are erased and the recipient knows
    position        int8 NOT NULL,          -- of the entry
    made_at         int8 NOT NULL,
    attempts        int4 NOT NULL DEFAULT 0,
    next_at         int8 NOT NULL,
    acknowledged_at int8
);
CREATE INDEX notice_waiting ON {keyring}.notice (next_at) WHERE acknowledged_at IS NULL;
CREATE INDEX notice_at ON {keyring}.notice (position);

GRANT SELECT, INSERT, UPDATE, DELETE ON {keyring}.given, {keyring}.notice TO {role};
RESET ROLE;
