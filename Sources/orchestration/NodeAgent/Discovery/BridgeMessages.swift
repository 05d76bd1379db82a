/// The HTTP of the bridge, see `EnvoyMessage`.
let connectionManager = EnvoyMessage(
    "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    [
        ("codec_type", 1, .names(["AUTO": 0, "HTTP1": 1])), ("stat_prefix", 2, .string), ("route_config", 4, .message(routes)),
        ("drain_timeout", 12, .duration), ("stream_idle_timeout", 24, .duration), ("request_timeout", 28, .duration),
        ("max_request_headers_kb", 29, .wrapped), ("common_http_protocol_options", 35, .message(httpOptions)),
        ("request_headers_timeout", 41, .duration),
        ("path_with_escaped_slashes_action", 45, .names(["KEEP_UNCHANGED": 1, "REJECT_REQUEST": 2])),
    ],
    lists: [
        (
            "http_filters", 5,
            .message(
                EnvoyMessage(
                    "extensions.filters.network.http_connection_manager.v3.HttpFilter",
                    [("name", 1, .string), ("typed_config", 4, .any)]))
        )
    ])

private let httpOptions = EnvoyMessage(
    "config.core.v3.HttpProtocolOptions",
    [("idle_timeout", 1, .duration), ("max_headers_count", 2, .wrapped), ("max_connection_duration", 3, .duration)])

private let routes = EnvoyMessage(
    "config.route.v3.RouteConfiguration", [("name", 1, .string), ("validate_clusters", 7, .wrapped)],
    lists: [
        (
            "virtual_hosts", 2,
            .message(
                EnvoyMessage(
                    "config.route.v3.VirtualHost", [("name", 1, .string)],
                    lists: [("domains", 2, .string), ("routes", 3, .message(route))]))
        )
    ])

private let route = EnvoyMessage(
    "config.route.v3.Route",
    [
        ("match", 1, .message(routeMatch)),
        (
            "route", 2,
            .message(EnvoyMessage("config.route.v3.RouteAction", [("cluster", 1, .string), ("timeout", 8, .duration)]))
        ), ("direct_response", 7, .message(directResponse)),
    ])

private let routeMatch = EnvoyMessage(
    "config.route.v3.RouteMatch", [("prefix", 1, .string), ("path", 2, .string)],
    lists: [
        (
            "headers", 6,
            .message(
                EnvoyMessage(
                    "config.route.v3.HeaderMatcher",
                    [
                        ("name", 1, .string),
                        ("string_match", 13, .message(EnvoyMessage("type.matcher.v3.StringMatcher", [("exact", 1, .string)]))),
                    ]))
        )
    ])

private let directResponse = EnvoyMessage(
    "config.route.v3.DirectResponseAction",
    [("status", 1, .scalar), ("body", 2, .message(EnvoyMessage("config.core.v3.DataSource", [("inline_string", 3, .string)])))])
