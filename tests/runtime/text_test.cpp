#include <cove/runtime/text.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

using cove::text;

TEST_CASE("a text is its parts, one after the other") {
    CHECK(text({}).empty());
    CHECK(text({"one"}) == "one");
    const std::string second = "two";
    CHECK(text({"one, ", second, std::string_view(", three").substr(0, 3), ""}) == "one, two, t");
    CHECK(text({std::string_view("a\0b", 3)}).size() == 3);
}

TEST_CASE("numbers of every width and sign are written in decimal digits") {
    CHECK(text({0, " ", 7U, " ", -1}) == "0 7 -1");
    CHECK(text({std::numeric_limits<std::int64_t>::min()}) == "-9223372036854775808");
    CHECK(text({std::numeric_limits<std::int64_t>::max()}) == "9223372036854775807");
    CHECK(text({std::numeric_limits<std::uint64_t>::max()}) == "18446744073709551615");
    CHECK(text({std::numeric_limits<std::int8_t>::min(), "/", std::uint8_t{255}}) == "-128/255");
}
