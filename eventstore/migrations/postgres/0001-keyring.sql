-- The keyring of one tenant: in the ledger's database, so that an entry and its keys are one commit,
-- or in another. Names are put in as in the ledger's.

CREATE SCHEMA {keyring} AUTHORIZATION {owner};
SET LOCAL ROLE {owner};
SET LOCAL search_path = {keyring};

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

GRANT USAGE ON SCHEMA {keyring} TO {role};
GRANT SELECT, UPDATE ON {keyring}.counter TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON
    {keyring}.idempotency, {keyring}.tenant_key, {keyring}.secret, {keyring}.person,
    {keyring}.person_key, {keyring}.period_key, {keyring}.data_key, {keyring}.person_tag,
    {keyring}.lookup, {keyring}.api_key, {keyring}.privacy_request TO {role};
RESET ROLE;
