-- What else hangs on a person is found by them: an erasure looks through nobody else's. Names are put
-- in as in 0001.

SET LOCAL ROLE {owner};
SET LOCAL search_path = {keyring};

CREATE INDEX api_key_of_person ON {keyring}.api_key (person) WHERE person IS NOT NULL;
CREATE INDEX privacy_request_of_person ON {keyring}.privacy_request (person) WHERE person IS NOT NULL;
CREATE INDEX notice_of_person ON {keyring}.notice (person) WHERE person IS NOT NULL;
RESET ROLE;
