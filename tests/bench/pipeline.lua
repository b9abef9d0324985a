-- Has wrk send 32 requests at a time without waiting for answers.
local many

function init()
  many = string.rep(wrk.format(), 32)
end

function request()
  return many
end
