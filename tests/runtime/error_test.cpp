// What errors say of themselves, to people and to handlers.

#include <cove/runtime/error.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <exception>
#include <set>
#include <string>
#include <system_error>
#include <type_traits>

using namespace std::chrono_literals;

namespace {

std::string thrown_text(const char* operation, const std::string& subject) {
    try {
        cove::detail::throw_error(std::make_error_code(std::errc::connection_refused), operation, subject);
    } catch (const std::system_error& error) {
        return error.what();
    }
}

std::string limit_text(cove::duration limit) { return cove::timed_out(limit).what(); }

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

static_assert(!std::is_convertible_v<cove::canceled*, std::exception*>);
static_assert(std::is_base_of_v<std::system_error, cove::timed_out>);

TEST_CASE("each of cove's own codes has a message of its own") {
    std::set<std::string> messages;
    for (int code = 1; code <= static_cast<int>(cove::errc::too_slow); ++code) {
        const std::error_code error = static_cast<cove::errc>(code);
        CHECK(error.category() == cove::error_category());
        CHECK(error);
        messages.insert(error.message());
    }
    CHECK(messages.size() == static_cast<std::size_t>(cove::errc::too_slow));
    CHECK(std::string(cove::error_category().name()) == "cove");
    CHECK(cove::error_category().message(4711) == "unknown error 4711");
}

TEST_CASE("a portable handler recognises what has a portable name, and nothing else") {
    CHECK(std::error_code(cove::errc::closed) == std::errc::bad_file_descriptor);
    CHECK(std::error_code(cove::errc::busy) == std::errc::operation_in_progress);
    CHECK(std::error_code(cove::errc::timed_out) == std::errc::timed_out);
    CHECK(std::error_code(cove::errc::deadlock) == std::errc::resource_deadlock_would_occur);
    CHECK(std::error_code(cove::errc::invalid_address) == std::errc::invalid_argument);
    CHECK(std::error_code(cove::errc::end_of_stream) != std::errc::broken_pipe);
    CHECK(std::error_code(cove::errc::end_of_stream) == cove::errc::end_of_stream);
    CHECK(std::error_code(cove::errc::closed) != cove::errc::busy);
}

TEST_CASE("one integer carries a result, an errno and cove's own codes without mixing them up") {
    CHECK_FALSE(cove::detail::to_error_code(0));
    CHECK_FALSE(cove::detail::to_error_code(1L << 41));
    for (const int error : {1, ECONNRESET, 133, 4095})
        CHECK(cove::detail::to_error_code(-error) == std::error_code(error, std::generic_category()));
    for (int code = 1; code <= static_cast<int>(cove::errc::too_slow); ++code) {
        const auto own = static_cast<cove::errc>(code);
        CHECK(cove::detail::raw(own) < 0);
        CHECK(cove::detail::to_error_code(cove::detail::raw(own)) == own);
    }
}

TEST_CASE("an error is one sentence: operation, subject, reason") {
    CHECK(thrown_text("connect", "127.0.0.1:9") == "connect 127.0.0.1:9: Connection refused");
    CHECK(thrown_text("accept", "") == "accept: Connection refused");
}

TEST_CASE("timed_out names its limit in the unit in which it is short") {
    CHECK(contains(limit_text(5s), "within 5s:"));
    CHECK(contains(limit_text(250ms), "within 250ms:"));
    CHECK(contains(limit_text(1500ms), "within 1.5s:"));
    CHECK(contains(limit_text(20us), "within 20us:"));
    CHECK(contains(limit_text(7ns), "within 7ns:"));
    CHECK(contains(limit_text(0ns), "within 0ns:"));
    CHECK(cove::timed_out(1s).code() == cove::errc::timed_out);
}
