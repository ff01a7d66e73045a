DROP TABLE push_facts;
