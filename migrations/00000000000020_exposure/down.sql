DROP INDEX findings_by_object, changes_by_object;
