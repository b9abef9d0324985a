-- /etc/haproxy/origin-guard.lua; `origin-guard print haproxy-lua` prints it.
--
-- Asks origin-guard about a request. Where it grants, txn.origin_guard becomes "granted";
-- where it denies, its answer goes to the client; where it says nothing that can be
-- understood, haproxy.cfg answers 503.

-- At the origin: is this the shared secret?
local ORIGIN = {
    address = "unix@/run/origin-guard.sock",
    --address = "ipv4@127.0.0.1:8888",
    url = "http://origin-guard/verify",
    presented = "x-shared-secret",
    variables = {},
}
-- At the gateway: whose API key is this? The answer says what to forward.
local GATEWAY = {
    address = "unix@/run/origin-guard/gateway.sock",
    --address = "ipv4@127.0.0.1:8889",
    url = "http://origin-guard/authorize",
    presented = "authorization",
    variables = {
        ["x-shared-secret"] = "txn.shared_secret",
        ["x-consumer"] = "txn.consumer",
        ["x-consumer-metadata"] = "txn.consumer_metadata",
    },
}
local PASSED_ON = { "content-type", "cache-control", "www-authenticate" }

-- HAProxy counts the values of a header from 0, and httpclient takes them from 1.
local function values(headers, name)
    local list, at = {}, 0
    while headers[name] and headers[name][at] do
        table.insert(list, headers[name][at])
        at = at + 1
    end
    return list
end

local function ask(txn, door)
    local answer = core.httpclient():get {
        url = door.url,
        dst = door.address,
        -- Milliseconds; it is asked up to four times.
        timeout = 500,
        headers = {
            [door.presented] = values(txn.http:req_get_headers(), door.presented),
            ["x-forwarded-for"] = { txn.f:src() },
            ["x-forwarded-uri"] = { txn.f:pathq() },
        },
    }
    local says = answer and answer.headers or {}
    if values(says, "server")[1] ~= "origin-guard" then
        return
    end
    if answer.status == 200 then
        for name, variable in pairs(door.variables) do
            local value = values(says, name)[1]
            if value then
                txn:set_var(variable, value)
            end
        end
        txn:set_var("txn.origin_guard", "granted")
        return
    end
    local reply = txn:reply { status = answer.status, reason = answer.reason, body = answer.body }
    for _, name in ipairs(PASSED_ON) do
        for _, value in ipairs(values(says, name)) do
            reply:add_header(name, value)
        end
    end
    txn:done(reply)
end

core.register_action("origin_guard", { "http-req" }, function(txn) ask(txn, ORIGIN) end)
core.register_action("origin_gateway", { "http-req" }, function(txn) ask(txn, GATEWAY) end)
