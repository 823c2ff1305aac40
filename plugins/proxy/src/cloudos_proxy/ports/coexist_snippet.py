"""Snippets for a web server that stays in front of this node."""

from __future__ import annotations

_NGINX = """\
# Paste inside your existing nginx http {{}} block
server {{
    listen {http};
    listen {https} ssl;
    server_name _;
    # Your own certificate and its key belong here; this pair is self-signed
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    client_max_body_size 0;
    # Forward everything to Quazzar on the alternate port
    location / {{
        proxy_pass http://127.0.0.1:{port};
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        # What a visitor says of a proxy before this one is not passed on
        proxy_set_header Forwarded "";
        # WebSockets and streams
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection;
        proxy_buffering off;
        proxy_request_buffering off;
        proxy_read_timeout 1h;
    }}
}}
"""
_APACHE = """\
# Paste into your Apache configuration. It needs: a2enmod proxy proxy_http ssl headers
<VirtualHost *:{http}>
{forward}</VirtualHost>
<VirtualHost *:{https}>
    SSLEngine on
    # Your own certificate and its key belong here; this pair is self-signed
    SSLCertificateFile "{certificate}"
    SSLCertificateKeyFile "{key}"
{forward}</VirtualHost>
"""
_APACHE_FORWARD = """\
    ServerName cloudos.invalid
    ServerAlias *
    # Forward everything to Quazzar on the alternate port; WebSockets too, from Apache 2.4.47 on
    ProxyPreserveHost On
    ProxyPass "/" "http://127.0.0.1:{port}/" upgrade=websocket
    # What a visitor says of its own address is dropped; Apache then adds the one that it sees
    RequestHeader unset X-Forwarded-For
    RequestHeader unset Forwarded
    RequestHeader set X-Real-IP "expr=%{{REMOTE_ADDR}}"
    RequestHeader set X-Forwarded-Proto "expr=%{{REQUEST_SCHEME}}"
"""
_FIRST = "# This node has to stand behind it: set CLOUDOS_PROXY__MODE=coexist and start the node again\n"


def snippet(server: str, *, http: int, https: int, port: int, certificate: str, key: str, stands_behind: bool) -> str:
    """Return the snippet for `nginx` or `apache`; `port` is the alternate one, on which this node listens."""
    ports = {"http": http, "https": https, "port": port, "certificate": certificate, "key": key}
    if server == "nginx":
        text = _NGINX.format(**ports)
    else:
        text = _APACHE.format(**ports, forward=_APACHE_FORWARD.format(port=port))
    return text if stands_behind else text + _FIRST
