-- What else hangs on a person is found by them: an erasure looks through nobody else's.

CREATE INDEX api_key_of_person ON api_key (person) WHERE person IS NOT NULL;
CREATE INDEX privacy_request_of_person ON privacy_request (person) WHERE person IS NOT NULL;
CREATE INDEX notice_of_person ON notice (person) WHERE person IS NOT NULL;
