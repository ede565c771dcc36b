local address = require "gateway.address"
local luaunit = require "luaunit"

local equals = luaunit.assertEquals

local function hex(key)
    return key and (key:gsub(".", function(c) return string.format("%02x", c:byte()) end))
end

local V4 = "00000000000000000000ffff"

local ADDRESSES = {
    ["10.0.0.1"] = { V4 .. "0a000001", 4 },
    ["0.0.0.0"] = { V4 .. "00000000", 4 },
    ["255.255.255.255"] = { V4 .. "ffffffff", 4 },
    ["::"] = { ("0"):rep(32), 6 },
    ["::1"] = { ("0"):rep(31) .. "1", 6 },
    ["1::"] = { "0001" .. ("0"):rep(28), 6 },
    ["1::2"] = { "0001" .. ("0"):rep(24) .. "0002", 6 },
    ["1:2:3:4:5:6:7:8"] = { "00010002000300040005000600070008", 6 },
    ["1:2:3:4:5:6:7::"] = { "00010002000300040005000600070000", 6 },
    ["::2:3:4:5:6:7:8"] = { "00000002000300040005000600070008", 6 },
    ["2001:DB8::aB"] = { "20010db80000000000000000000000ab", 6 },
    ["2001:0db8:0000:0000:0000:0000:0000:00ab"] = { "20010db80000000000000000000000ab", 6 },
    ["[2001:db8::ab]"] = { "20010db80000000000000000000000ab", 6 },
    ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] = { ("f"):rep(32), 6 },
    ["::ffff:10.0.0.1"] = { V4 .. "0a000001", 4 },
    ["::FFFF:a00:1"] = { V4 .. "0a000001", 4 },
    ["[::ffff:10.0.0.1]"] = { V4 .. "0a000001", 4 },
    ["::10.0.0.1"] = { ("0"):rep(24) .. "0a000001", 6 },
    ["::ff:ffff:a00:1"] = { ("0"):rep(18) .. "ffffff" .. "0a000001", 6 },
    ["64:ff9b::10.0.0.1"] = { "0064ff9b00000000000000000a000001", 6 },
    ["1:2:3:4:5:6:10.0.0.1"] = { "0001000200030004000500060a000001", 6 },
}

local NO_ADDRESSES = {
    "", " ", "localhost", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.0.0.1", "1.2.3.999", "1.2.3.4 ",
    " 1.2.3.4", "010.0.0.1", "00.0.0.0", "1.2.3.4:80", "1.2.3.4/8", "-1.2.3.4", "1.2.3.0x4", "1,2,3,4", "1.2.3.4\0",
    ":", ":::", "1:::2", "1::2::3", ":1", "1:", "::1:", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8:",
    "1:2:3:4::5:6:7:8", "::1:2:3:4:5:6:7:8", "12345::", "g::", "::1.2.3", "::1.2.3.4.5", "1.2.3.4::", "::1.2.3.4:5",
    "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:6:7:8.1.2.3", "::256.0.0.1", "::01.2.3.4", "fe80::1%eth0", "fe80::1%1", "[::1",
    "::1]", "[]", "[", "]", "[1.2.3.4]", "[[::1]]", "[::1]:80", "::1\0", "::.", "::1.", ":.", "1::1.2.3.4::",
}

local TestKey = {}

function TestKey.test_every_spelling_has_its_key_and_family()
    for text, expected in pairs(ADDRESSES) do
        local key, family = address.key(text)
        equals({ text, hex(key), family }, { text, expected[1], expected[2] })
    end
end

function TestKey.test_what_is_no_address_has_none()
    for _, text in ipairs(NO_ADDRESSES) do
        equals({ text, hex(address.key(text)) }, { text })
    end
end

function TestKey.test_keys_compare_as_addresses_do()
    local ascending = { "0.0.0.0", "0.0.0.255", "9.255.255.255", "10.0.0.0", "127.0.0.1", "128.0.0.1", "255.255.255.255" }
    for i = 2, #ascending do
        luaunit.assertTrue(address.key(ascending[i - 1]) < address.key(ascending[i]), ascending[i])
    end
    ascending = { "::", "::1", "::ff", "::100", "1::", "2001:db8::", "2001:db8::ffff", "2001:db9::", "fe80::", "ffff::" }
    for i = 2, #ascending do
        luaunit.assertTrue(address.key(ascending[i - 1]) < address.key(ascending[i]), ascending[i])
    end
end

function TestKey.test_one_answer_does_not_shine_through_the_next()
    address.key("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
    equals(hex((address.key("::"))), ("0"):rep(32))
    address.key("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
    equals(hex((address.key("1.2.3.4"))), V4 .. "01020304")
    address.key("1:2:3:4:5:6:7:zz")
    equals(hex((address.key("a::b"))), "000a" .. ("0"):rep(24) .. "000b")
end

function TestKey.test_a_gap_may_stand_anywhere_and_be_of_any_length()
    for before = 0, 7 do
        for after = 0, 7 - before do
            local left, right = {}, {}
            for i = 1, before do left[i] = "a" .. i end
            for i = 1, after do right[i] = "b" .. i end
            local middle = ("0000"):rep(8 - before - after)
            local expected = table.concat(left):gsub("a", "00a") .. middle .. table.concat(right):gsub("b", "00b")
            equals(hex((address.key(table.concat(left, ":") .. "::" .. table.concat(right, ":")))), expected)
        end
    end
end


local TestBracketed = {}

function TestBracketed.test_ipv4_stays_as_it_is()
    equals(address.bracketed("10.0.0.1"), "10.0.0.1")
end

function TestBracketed.test_ipv6_gets_brackets_and_lower_case()
    equals(address.bracketed("2001:DB8::A"), "[2001:db8::a]")
    equals(address.bracketed("[2001:DB8::A]"), "[2001:db8::a]")
    equals(address.bracketed("::ffff:10.0.0.1"), "[::ffff:10.0.0.1]")
end

function TestBracketed.test_what_is_no_address_gives_nothing()
    for _, text in ipairs(NO_ADDRESSES) do
        equals({ text, address.bracketed(text) }, { text })
    end
end


local TestNetwork = {}

local function bounds(text)
    local network = address.network(text)
    return network and { hex(network.least), hex(network.greatest), network.family }
end

function TestNetwork.test_an_address_is_a_network_of_one()
    equals(bounds("10.0.0.1"), { V4 .. "0a000001", V4 .. "0a000001", 4 })
    equals(bounds("::1"), { ("0"):rep(31) .. "1", ("0"):rep(31) .. "1", 6 })
end

function TestNetwork.test_bits_behind_the_prefix_are_free()
    equals(bounds("10.1.2.3/8"), { V4 .. "0a000000", V4 .. "0affffff", 4 })
    equals(bounds("10.1.2.255/29"), { V4 .. "0a0102f8", V4 .. "0a0102ff", 4 })
    equals(bounds("0.0.0.0/0"), { V4 .. "00000000", V4 .. "ffffffff", 4 })
    equals(bounds("fd00::1/9"), { "fd" .. ("0"):rep(30), "fd7f" .. ("f"):rep(28), 6 })
    equals(bounds("::/0"), { ("0"):rep(32), ("f"):rep(32), 6 })
    equals(bounds("[fd00::1]/128"), { "fd" .. ("0"):rep(29) .. "1", "fd" .. ("0"):rep(29) .. "1", 6 })
end

function TestNetwork.test_what_is_no_network_gives_nothing()
    for _, text in ipairs({ "10.0.0.1/33", "::/129", "10.0.0.1/", "/8", "10.0.0.1/a", "10.0.0.1/8/8", "10.0.0.1/-1", "a", "" }) do
        equals({ text, address.network(text) }, { text })
    end
end


return { TestKey = TestKey, TestBracketed = TestBracketed, TestNetwork = TestNetwork }
