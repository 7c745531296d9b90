"""Questions: what the command answers, as SQL."""

from collections.abc import Mapping

__all__ = ["QUESTIONS"]

QUESTIONS: Mapping[str, str] = {
    "runs": """
        SELECT root.started, root.name AS run, root.duration_ms, root.status, count(*) AS spans,
               sum(coalesce(span.prompt_tokens + coalesce(span.completion_tokens, 0), span.completion_tokens))::BIGINT
               AS tokens, root.trace_id
        FROM spans AS root JOIN spans AS span USING (trace_id)
        WHERE root.parent_span_id IS NULL AND root.started >= $since
        GROUP BY ALL ORDER BY root.started DESC LIMIT $rows
    """,
    "tools": """
        SELECT name AS tool, count(*) AS calls, count(*) FILTER (status = 'ERROR') AS failed,
               quantile_cont(duration_ms, 0.5) AS median_ms, quantile_cont(duration_ms, 0.95) AS p95_ms,
               max(duration_ms) AS slowest_ms, arg_max(trace_id, duration_ms) AS slowest_trace
        FROM spans WHERE kind = 'TOOL' AND started >= $since
        GROUP BY name ORDER BY p95_ms DESC, tool LIMIT $rows
    """,
    "models": """
        SELECT model, provider, count(*) AS calls, sum(prompt_tokens)::BIGINT AS prompt_tokens,
               sum(completion_tokens)::BIGINT AS completion_tokens, sum(cached_tokens)::BIGINT AS cached_tokens,
               sum(coalesce(cost, (prompt_tokens * price.given + coalesce(completion_tokens, 0) * price.made) / 1e6)) AS cost
        FROM spans LEFT JOIN (SELECT unnest($names::VARCHAR[]) AS model, unnest($given::DOUBLE[]) AS given,
                                     unnest($made::DOUBLE[]) AS made) AS price USING (model)
        WHERE model IS NOT NULL AND started >= $since
        GROUP BY model, provider ORDER BY cost DESC NULLS LAST, calls DESC, model LIMIT $rows
    """,
    "errors": """
        SELECT started, workflow, name AS step, error_type, status_message AS message, trace_id
        FROM spans AS span
        WHERE status = 'ERROR' AND started >= $since AND NOT EXISTS (
            SELECT 1 FROM spans AS inner_one WHERE inner_one.trace_id = span.trace_id
            AND inner_one.parent_span_id = span.span_id AND inner_one.status = 'ERROR'
        )
        ORDER BY started DESC LIMIT $rows
    """,
}
"""By name. `errors` are the steps that failed by themselves, without those around them."""
