#include <cove/net/message.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

using cove::message;
using namespace std::string_view_literals;

TEST_CASE("a message that was never written is empty") {
    const message none;
    CHECK(none.size() == 0);
    CHECK(none.view().empty());
    const message copy = none;
    CHECK(copy.size() == 0);
}

TEST_CASE("a message is its parts, one after the other, with any bytes in them") {
    CHECK(message("text").view() == "text");
    CHECK(message({"one", " ", "two", ""}).view() == "one two");
    CHECK(message({"a\0b"sv, "\xff\0"sv}).view() == "a\0b\xff\0"sv);
    CHECK(message("").size() == 0);
    CHECK(message({}).size() == 0);
    const std::string large(1'000'000, 'x');
    CHECK(message({large, large}).size() == 2'000'000);
}

TEST_CASE("a message keeps its own copy of the bytes") {
    std::string text = "before";
    const message kept(text);
    text = "after!";
    CHECK(kept.view() == "before");
}

TEST_CASE("copies share the bytes, which live as long as any of them") {
    message last;
    const char* bytes = nullptr;
    {
        const message first("shared");
        bytes = first.view().data();
        const message copy = first;
        CHECK(copy.view().data() == bytes);
        last = copy;
    }
    CHECK(last.view().data() == bytes);
    CHECK(last.view() == "shared");
}

TEST_CASE("moving leaves an empty message, and assigning gives up the old one") {
    message one("one");
    message two = std::move(one);
    CHECK(one.size() == 0);
    CHECK(two.view() == "one");
    one = message("other");
    two = one;
    CHECK(two.view() == "other");
    message& self = two;
    two = self;
    CHECK(two.view() == "other");
    two = std::move(self);
    CHECK(two.view() == "other");
}
