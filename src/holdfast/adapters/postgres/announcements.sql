-- Telling subscribers, and counting whom that would concern. Both ask communication.audience.

-- name: announce
SELECT communication.announce(%(event)s::text, %(subject)s::text, %(at)s::timestamptz, %(components)s::integer[],
                              %(clusters)s::text[], %(customers)s::text[], %(notice)s::json);

-- name: audience
SELECT channel, count(*) FROM communication.audience(%(topic)s::text, %(components)s::integer[],
                                                     %(clusters)s::text[], %(customers)s::text[])
GROUP BY channel ORDER BY channel;

-- name: journal
INSERT INTO holdfast.journal (at, actor, event, facts) VALUES (%(at)s, %(actor)s, %(event)s, %(facts)s);

-- name: degradations
-- The newest that was told of each component.
SELECT DISTINCT ON (subject) notice::text FROM communication.announcement
WHERE event LIKE 'degradation.%%' ORDER BY subject, told_at DESC, at DESC;
