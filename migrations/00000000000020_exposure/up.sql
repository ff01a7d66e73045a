-- What `refwarden audit exposure` asks of pushes: which of them brought an object.
CREATE INDEX findings_by_object ON findings (object_oid) WHERE object_oid IS NOT NULL;
CREATE INDEX changes_by_object ON changes (new_oid);
