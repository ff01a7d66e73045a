DROP TABLE people;
DROP TABLE deliveries;
DROP TABLE outbox;
