-- The ledger of one tenant, as a schema of its own. Before it is run, {ledger}, {keyring}, {role} and
-- {owner} are replaced by quoted names. The owner cannot log in and owns everything; the role is what
-- a transaction takes on, and may do no more with an entry than add and read it.

CREATE SCHEMA {ledger} AUTHORIZATION {owner};
SET LOCAL ROLE {owner};
SET LOCAL search_path = {ledger};

CREATE TABLE {ledger}.head (
    id          int4 PRIMARY KEY CHECK (id = 1),
    tenant      bytea NOT NULL,             -- 16 random bytes, for good
    origin      int4 NOT NULL,              -- 1, and one more after each loss that was accepted
    size        int8 NOT NULL,              -- how many entries; the next position
    frontier    bytea NOT NULL,             -- right edge of the tree
    recorded_at int8 NOT NULL,              -- of the last entry, microseconds
    indexed     int8 NOT NULL               -- up to here the tags are complete
) WITH (fillfactor = 10);

CREATE TABLE {ledger}.entry (
    position int8 PRIMARY KEY,
    bytes    bytea NOT NULL,
    leaf     bytea NOT NULL
);

CREATE FUNCTION {ledger}.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'entries are only added'; END $$;
CREATE TRIGGER entry_is_not_changed BEFORE UPDATE OR DELETE ON {ledger}.entry
    FOR EACH ROW EXECUTE FUNCTION {ledger}.refuse();
CREATE TRIGGER entries_are_not_emptied BEFORE TRUNCATE ON {ledger}.entry
    FOR EACH STATEMENT EXECUTE FUNCTION {ledger}.refuse();

CREATE TABLE {ledger}.seal (
    id         int8 PRIMARY KEY,            -- position * 65536 + n
    ciphertext bytea NOT NULL
);

CREATE TABLE {ledger}.tag (
    tag      int8 NOT NULL,
    position int8 NOT NULL,
    PRIMARY KEY (tag, position)
);

GRANT USAGE ON SCHEMA {ledger} TO {role};
GRANT SELECT, INSERT ON {ledger}.entry TO {role};
GRANT SELECT, UPDATE ON {ledger}.head TO {role};
GRANT SELECT, INSERT, DELETE ON {ledger}.seal, {ledger}.tag TO {role};
RESET ROLE;
