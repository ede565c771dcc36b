# resty.ngxvar: nginx variables, read with `fetch`.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';
use Test::Nginx::Util qw($ServerPort);

workers(1);

our $Upstream = "upstream slow { server 127.0.0.1:$ServerPort; }";

run_tests();

__DATA__

=== TEST 1: the common variables have the values of ngx.var
--- lua
local fetch = require("resty.ngxvar").fetch
for _, name in ipairs {
    "uri", "request_uri", "args", "host", "http_host", "scheme", "request_method", "remote_addr", "remote_port", "server_addr",
    "server_port", "server_name", "server_protocol", "http_x_real_ip", "http_user_agent", "content_type", "content_length",
    "arg_a", "cookie_session", "is_args", "document_uri", "https", "binary_remote_addr", "connection",
} do
    local expected, got = ngx.var[name], fetch(name)
    if expected ~= nil then
        expected, got = tostring(expected), tostring(got)
    end
    if got ~= expected then
        ngx.say(name, ": ", expected, " ", got)
    end
end
ngx.say(fetch("uri"), " ", fetch("host"), " ", fetch("request_method"), " ", fetch("http_x_real_ip"), " ", fetch("arg_a"))
--- request
GET /t?a=b&c=d
--- more_headers
Host: a.example
X-Real-IP: 10.1.2.3
Cookie: session=abc
--- response_body
/t a.example GET 10.1.2.3 b
--- no_error_log
[error]



=== TEST 2: a request may be handed over for several variables
--- lua
local ngxvar = require "resty.ngxvar"
local request = ngxvar.request()
ngx.say(ngxvar.fetch("uri", request))
ngx.say(ngxvar.fetch("host", request))
ngx.say(ngxvar.fetch("remote_addr", request))
ngx.say(ngxvar.fetch("http_x_any", request))
--- more_headers
X-Any: thing
--- response_body
/t
localhost
127.0.0.1
thing
--- no_error_log
[error]



=== TEST 3: what has no value is nil
--- lua
local ngxvar = require "resty.ngxvar"
for _, name in ipairs { "http_none", "arg_none", "cookie_none", "no_such_variable", "upstream_addr" } do
    ngx.say(ngxvar.fetch(name), " ", ngxvar.fetch(name, ngxvar.request()))
end
--- response_body
nil nil
nil nil
nil nil
nil nil
nil nil
--- no_error_log
[error]



=== TEST 4: an empty value is an empty text
--- lua
local fetch = require("resty.ngxvar").fetch
ngx.say("(", fetch("http_empty"), ")")
ngx.say("(", fetch("arg_a"), ")")
--- request
GET /t?a=&b=1
--- more_headers
Empty:
--- response_body
()
()
--- no_error_log
[error]



=== TEST 5: the method is the one of the request
--- config
location = /method {
    content_by_lua_block {
        ngx.print(require("resty.ngxvar").fetch("request_method"))
    }
}
--- request eval
["GET /method", "POST /method", "PUT /method", "DELETE /method", "OPTIONS /method", "PATCH /method", "BREW /method"]
--- response_body eval
["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"]
--- no_error_log
[error]



=== TEST 6: variables that were set in the configuration or by a pattern are read
--- config
location ~ ^/item/(?<item>\w+)$ {
    set $mine "value";
    content_by_lua_block {
        local fetch = require("resty.ngxvar").fetch
        ngx.say(fetch("mine"), " ", fetch("item"))
        ngx.var.mine = "changed"
        ngx.say(fetch("mine"))
    }
}
--- request
GET /item/seven
--- response_body
value seven
changed
--- no_error_log
[error]



=== TEST 7: a value changes with the request
--- config
location = /rewritten {
    content_by_lua_block {
        local fetch = require("resty.ngxvar").fetch
        ngx.say(fetch("uri"), " ", fetch("arg_a"), " ", fetch("http_x_any"))
        ngx.req.set_uri("/other")
        ngx.req.set_uri_args("a=2")
        ngx.req.set_header("X-Any", "new")
        ngx.say(fetch("uri"), " ", fetch("arg_a"), " ", fetch("http_x_any"))
    }
}
--- request
GET /rewritten?a=1
--- more_headers
X-Any: old
--- response_body
/rewritten 1 old
/other 2 new
--- no_error_log
[error]



=== TEST 8: variables are read in every phase of a request
--- http_config eval: $::Upstream
--- config
location = /phases {
    set_by_lua_block $set { return require("resty.ngxvar").fetch("http_x_any") }
    rewrite_by_lua_block { ngx.ctx.seen = { ngx.var.set, require("resty.ngxvar").fetch("http_x_any") } }
    access_by_lua_block { table.insert(ngx.ctx.seen, require("resty.ngxvar").fetch("http_x_any")) }
    content_by_lua_block {
        table.insert(ngx.ctx.seen, require("resty.ngxvar").fetch("http_x_any"))
        ngx.say("body")
    }
    header_filter_by_lua_block { table.insert(ngx.ctx.seen, require("resty.ngxvar").fetch("http_x_any")) }
    body_filter_by_lua_block { ngx.ctx.in_body_filter = require("resty.ngxvar").fetch("http_x_any") }
    log_by_lua_block {
        table.insert(ngx.ctx.seen, ngx.ctx.in_body_filter)
        table.insert(ngx.ctx.seen, require("resty.ngxvar").fetch("http_x_any"))
        ngx.log(ngx.NOTICE, "seen: ", table.concat(ngx.ctx.seen, " "))
    }
}
--- request
GET /phases
--- more_headers
X-Any: x
--- response_body
body
--- error_log
seen: x x x x x x x
--- no_error_log
[error]



=== TEST 9: variables are read while a peer is chosen
--- http_config eval
qq{
    upstream chosen {
        server 0.0.0.1;
        balancer_by_lua_block {
            local ngxvar = require "resty.ngxvar"
            ngx.log(ngx.NOTICE, "for: ", ngxvar.fetch("remote_addr"), " ", ngxvar.fetch("http_x_any", ngxvar.request()))
            assert(require("ngx.balancer").set_current_peer("127.0.0.1", $Test::Nginx::Util::ServerPort))
        }
    }
}
--- config
location = /answer {
    echo "answer";
}
location = /chosen {
    proxy_pass http://chosen/answer;
}
--- request
GET /chosen
--- more_headers
X-Any: x
--- response_body
answer
--- error_log
for: 127.0.0.1 x
--- no_error_log
[error]



=== TEST 10: a subrequest has its own variables
--- config
location = /main {
    content_by_lua_block {
        local ngxvar = require "resty.ngxvar"
        local request = ngxvar.request()
        ngx.say(ngx.location.capture("/sub?a=2").body)
        ngx.say(ngxvar.fetch("uri", request), " ", ngxvar.fetch("arg_a", request))
    }
}
location = /sub {
    content_by_lua_block {
        local fetch = require("resty.ngxvar").fetch
        ngx.print(fetch("uri"), " ", fetch("arg_a"))
    }
}
--- request
GET /main?a=1
--- response_body
/sub 2
/main 1
--- no_error_log
[error]



=== TEST 11: the status is a number
--- config
location = /status {
    content_by_lua_block { ngx.exit(301) }
    log_by_lua_block {
        local status = require("resty.ngxvar").fetch("status")
        ngx.log(ngx.NOTICE, "status: ", type(status), " ", status)
    }
}
--- request
GET /status
--- error_code: 301
--- error_log
status: number 301
--- no_error_log
[error]



=== TEST 12: the request time is in seconds
--- lua
ngx.sleep(0.05)
local fetch = require("resty.ngxvar").fetch
local time = fetch("request_time")
ngx.say(time >= 0.04 and time < 2)
ngx.say(type(time), " ", type(fetch("request_length")), " ", type(fetch("bytes_sent")))
--- response_body
true
number number number
--- no_error_log
[error]



=== TEST 13: the times of the upstream are in seconds
--- http_config eval: $::Upstream
--- config
location = /slow {
    echo_sleep 0.05;
    echo "answer";
}
location = /proxied {
    proxy_pass http://slow/slow;
    log_by_lua_block {
        local ngxvar = require "resty.ngxvar"
        for _, name in ipairs { "upstream_response_time", "upstream_header_time", "upstream_connect_time" } do
            local time = tonumber(ngxvar.fetch(name, ngxvar.request()))
            ngx.log(ngx.NOTICE, name, " ", time >= 0 and time < 2, " ", time >= 0.04)
        end
    }
}
--- request
GET /proxied
--- response_body
answer
--- error_log
upstream_response_time true true
upstream_header_time true true
upstream_connect_time true false
--- no_error_log
[error]



=== TEST 14: without an upstream its times are nil
--- config
location = /alone {
    echo "answer";
    log_by_lua_block {
        local fetch = require("resty.ngxvar").fetch
        ngx.log(ngx.NOTICE, "times: ", fetch("upstream_response_time"), fetch("upstream_header_time"), fetch("upstream_connect_time"))
    }
}
--- request
GET /alone
--- response_body
answer
--- error_log
times: nilnilnil
--- no_error_log
[error]



=== TEST 15: many reads of many variables give the same
--- lua
local ngxvar = require "resty.ngxvar"
local request = ngxvar.request()
local names = { "uri", "host", "request_method", "remote_addr", "http_x_any", "server_port", "scheme", "arg_a", "http_none" }
for i = 1, 20000 do
    local name = names[i % #names + 1]
    local with, without = ngxvar.fetch(name, request), ngxvar.fetch(name)
    assert(with == without and with == ngx.var[name])
end
ngx.say("same")
--- request
GET /t?a=1
--- more_headers
X-Any: x
--- response_body
same
--- no_error_log
[error]
