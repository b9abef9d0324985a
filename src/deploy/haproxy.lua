-- /etc/haproxy/origin-guard.lua; `origin-guard print haproxy-lua` prints it.
--
-- Asks origin-guard about a request. Where the guard grants it, txn.origin_guard becomes
-- "granted". Where the guard denies it, its answer goes to the client. Where nothing
-- answers that can be understood, haproxy's own file says 503.
--
-- It asks over sockets of its own: core.httpclient would add a line to HAProxy's log for
-- each question.

-- Seconds that a question may take.
local TIMEOUT = 2
-- Connections to the guard that one thread keeps.
local KEPT = 32
-- Statuses that a client is to see as they are.
local REFUSALS = { [400] = true, [401] = true, [414] = true, [429] = true, [431] = true, [500] = true }
local PASSED_ON = { "content-type", "cache-control", "www-authenticate", "retry-after", "ratelimit", "ratelimit-policy" }

-- Idle connections of this thread, by the guard's address.
local idle = {}
-- When each connection was asked that has not answered yet, in seconds.
local asked = {}

-- HAProxy 2.6 can stop reading from a connection, and then its timeout does not run out
-- either. So this thread looks each second, and closes what is late.
core.register_task(function()
    while true do
        core.sleep(1)
        local now = core.now().sec
        for socket, since in pairs(asked) do
            if now - since > TIMEOUT then
                asked[socket] = nil
                socket:close()
            end
        end
    end
end)

local function connect(address)
    local socket = core.tcp()
    socket:settimeout(TIMEOUT)
    if socket:connect(address) then
        return socket
    end
    socket:close()
end

local function keep(address, socket)
    local sockets = idle[address] or {}
    idle[address] = sockets
    if #sockets < KEPT then
        table.insert(sockets, socket)
    else
        socket:close()
    end
end

-- Reads an answer: its status, its fields by their names in lower case, its body.
local function read(socket)
    local line = socket:receive("*l")
    local status = line and line:match("^HTTP/1%.1 (%d%d%d) ")
    if not status then
        return
    end
    local answer = { status = tonumber(status), fields = {}, body = "" }
    while true do
        line = socket:receive("*l")
        if not line then
            return
        end
        line = line:gsub("\r$", "")
        if line == "" then
            break
        end
        local name, value = line:match("^([^:]+):[ \t]*(.-)[ \t]*$")
        if not name then
            return
        end
        answer.fields[name:lower()] = value
    end
    local length = tonumber(answer.fields["content-length"] or "")
    if not length then
        return
    end
    if length > 0 then
        answer.body = socket:receive(length)
    end
    return answer.body and answer
end

local function exchange(socket, question)
    asked[socket] = core.now().sec
    local answer = socket:send(question) and read(socket)
    asked[socket] = nil
    return answer
end

-- Asks on a connection that was kept, or on a fresh one where that is gone.
local function answer_to(question, address)
    local socket = table.remove(idle[address] or {})
    local answer = socket and exchange(socket, question)
    if not answer then
        if socket then
            socket:close()
        end
        socket = connect(address)
        answer = socket and exchange(socket, question)
    end
    if answer and not (answer.fields["connection"] or ""):lower():find("close", 1, true) then
        keep(address, socket)
    elseif socket then
        socket:close()
    end
    return answer
end

-- HAProxy counts the values of a header from 0.
local function values(headers, name)
    local list, at = {}, 0
    while headers[name] and headers[name][at] do
        table.insert(list, headers[name][at])
        at = at + 1
    end
    return list
end

local function ask(txn, address, path, presented)
    local lines = { "GET " .. path .. " HTTP/1.1", "host: origin-guard" }
    for _, value in ipairs(values(txn.http:req_get_headers(), presented:lower())) do
        table.insert(lines, presented .. ": " .. value)
    end
    table.insert(lines, "x-forwarded-for: " .. txn.f:src())
    table.insert(lines, "x-forwarded-uri: " .. txn.f:pathq())
    for _, line in ipairs(lines) do
        if line:find("[\r\n\0]") then
            return
        end
    end
    local answer = answer_to(table.concat(lines, "\r\n") .. "\r\n\r\n", address)
    if not answer or answer.fields["server"] ~= "origin-guard" then
        return
    end
    if answer.status == 200 then
        txn:set_var("txn.origin_guard", "granted")
        return answer.fields
    end
    if not REFUSALS[answer.status] then
        return
    end
    local reply = txn:reply { status = answer.status, body = answer.body }
    for _, name in ipairs(PASSED_ON) do
        if answer.fields[name] then
            reply:add_header(name, answer.fields[name])
        end
    end
    txn:done(reply)
end

-- At the origin: does the request hold the shared secret?
core.register_action("origin_guard", { "http-req" }, function(txn, address, secret_header)
    ask(txn, address, "/verify", secret_header)
end, 2)

-- At the gateway: whose API key does the request hold? The answer says what to forward.
core.register_action("origin_gateway", { "http-req" }, function(txn, address, key_header, secret_header)
    local fields = ask(txn, address, "/authorize", key_header)
    if not fields then
        return
    end
    for name, variable in pairs {
        [secret_header:lower()] = "txn.shared_secret",
        ["x-consumer"] = "txn.consumer",
        ["x-consumer-metadata"] = "txn.consumer_metadata",
    } do
        if fields[name] then
            txn:set_var(variable, fields[name])
        end
    end
end, 3)
