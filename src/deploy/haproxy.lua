-- /etc/haproxy/origin-guard.lua; `origin-guard print haproxy-lua` prints it.
--
-- Asks origin-guard about a request. Where it grants, txn.origin_guard becomes
-- "granted"; where it denies, its answer goes to the client; where it says nothing
-- that can be understood, haproxy.cfg answers 503.

local GUARD = "unix@/run/origin-guard.sock"
--local GUARD = "ipv4@127.0.0.1:8888"
local SECRET_HEADER = "x-shared-secret"
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

core.register_action("origin_guard", { "http-req" }, function(txn)
    local answer = core.httpclient():get {
        url = "http://origin-guard/verify",
        dst = GUARD,
        -- Milliseconds; it is asked up to four times.
        timeout = 500,
        headers = {
            [SECRET_HEADER] = values(txn.http:req_get_headers(), SECRET_HEADER),
            ["x-forwarded-for"] = { txn.f:src() },
            ["x-forwarded-uri"] = { txn.f:pathq() },
        },
    }
    local says = answer and answer.headers or {}
    if not says["server"] or says["server"][0] ~= "origin-guard" then
        return
    end
    if answer.status == 200 then
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
end)
