// Text for messages and stacks.

#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

namespace cove {

// A part of a text: characters, or a whole number in decimal digits.
class text_part {
public:
    text_part(std::string_view characters) noexcept : characters_(characters) {}
    text_part(const char* characters) noexcept : characters_(characters) {}
    text_part(const std::string& characters) noexcept : characters_(characters) {}
    template <class Number>
        requires(std::is_integral_v<Number> && !std::is_same_v<Number, char> && !std::is_same_v<Number, bool>)
    text_part(Number number) noexcept
        : negative_(number < 0),
          number_(negative_ ? 0 - static_cast<unsigned long long>(number) : static_cast<unsigned long long>(number)),
          is_number_(true) {}

private:
    friend std::string text(std::initializer_list<text_part> parts);

    std::string_view characters_;
    bool negative_ = false;
    unsigned long long number_ = 0;
    bool is_number_ = false;
};

// Returns the parts, one after the other: text({"signal ", 15}). One call, where a sum of strings is compiled into several
// hundred bytes each time. Throws: std::bad_alloc.
std::string text(std::initializer_list<text_part> parts);

}  // namespace cove
