-- The ledger and the keyring of one tenant, as two schemas of one database, so that an entry and
-- its keys are one commit. Before it is run, {ledger}, {keyring}, {role} and {owner} are replaced by
-- quoted names. The owner cannot log in and owns everything; the role is what a transaction takes on,
-- and may do no more with an entry than add and read it.

CREATE SCHEMA {ledger} AUTHORIZATION {owner};
CREATE SCHEMA {keyring} AUTHORIZATION {owner};
SET LOCAL ROLE {owner};
SET LOCAL search_path = {ledger}, {keyring};

-- The ledger ----------------------------------------------------------------------------------

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

-- The keyring ---------------------------------------------------------------------------------

-- Numbers are given to nodes in blocks, apart from the head, which every commit moves.
CREATE TABLE {keyring}.counter (
    name text PRIMARY KEY,
    next int8 NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE {keyring}.idempotency (
    day   int8 NOT NULL,
    key   bytea NOT NULL,
    body  bytea NOT NULL,
    first int8 NOT NULL,
    count int4 NOT NULL,
    PRIMARY KEY (day, key)
);

CREATE TABLE {keyring}.tenant_key (epoch int4 PRIMARY KEY, wrapped bytea NOT NULL);
CREATE TABLE {keyring}.secret (name text PRIMARY KEY, wrapped bytea NOT NULL);

CREATE TABLE {keyring}.person (
    id             int8 PRIMARY KEY,
    state          int2 NOT NULL,           -- 1 live, 2 restricted, 3 being erased, 4 erased
    fence          bytea,
    fields         int4,
    registration   int8,
    contact_at     int8,
    contact_handle int8
);
CREATE INDEX person_being_erased ON {keyring}.person (id) WHERE state = 3;

CREATE TABLE {keyring}.person_key (
    person  int8 NOT NULL,
    class   int2 NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (person, class)
);

CREATE TABLE {keyring}.period_key (
    class   int2 NOT NULL,
    year    int2 NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (class, year)
);

-- A row without a key is a tombstone: what was sealed is erased.
CREATE TABLE {keyring}.data_key (
    id      int8 PRIMARY KEY,               -- handle * 8 + class
    person  int8,
    year    int2,
    wrapped bytea
);

-- Written with the commit, not late: a node cannot hold back rows of somebody another node erases.
CREATE TABLE {keyring}.person_tag (
    person   int8 NOT NULL,
    until    int8 NOT NULL,
    position int8 NOT NULL,
    handle   int8 NOT NULL,
    booking  int8,
    seals    int4 NOT NULL,
    year     int2 NOT NULL,
    visits   int2 NOT NULL,
    PRIMARY KEY (person, until, position, handle)
);

CREATE TABLE {keyring}.lookup (
    value  bytea NOT NULL,
    person int8 NOT NULL,
    kind   int2 NOT NULL,
    PRIMARY KEY (value, person)
);
CREATE INDEX lookup_of_person ON {keyring}.lookup (person);

CREATE TABLE {keyring}.api_key (
    id         int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE,
    role       text NOT NULL,
    label      text NOT NULL,
    person     int8,
    created_at int8 NOT NULL,
    revoked_at int8
);

CREATE TABLE {keyring}.privacy_request (
    id           int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,
    person       int8,
    requested_at int8 NOT NULL,
    decided_at   int8,
    status       text NOT NULL,
    fence_at     int8
);

-- What the role may do ------------------------------------------------------------------------

GRANT USAGE ON SCHEMA {ledger}, {keyring} TO {role};
GRANT SELECT, INSERT ON {ledger}.entry TO {role};
GRANT SELECT, UPDATE ON {ledger}.head TO {role};
GRANT SELECT, INSERT, DELETE ON {ledger}.seal, {ledger}.tag TO {role};
GRANT SELECT, UPDATE ON {keyring}.counter TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON
    {keyring}.idempotency, {keyring}.tenant_key, {keyring}.secret, {keyring}.person,
    {keyring}.person_key, {keyring}.period_key, {keyring}.data_key, {keyring}.person_tag,
    {keyring}.lookup, {keyring}.api_key, {keyring}.privacy_request TO {role};
RESET ROLE;
