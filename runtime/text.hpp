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
    text_part(std::string_view characters) noexcept : characters_(characters.data()), value_(characters.size()) {}
    text_part(const char* characters) noexcept : text_part(std::string_view(characters)) {}
    text_part(const std::string& characters) noexcept : text_part(std::string_view(characters)) {}
    template <class Number>
        requires(std::is_integral_v<Number> && !std::is_same_v<Number, char> && !std::is_same_v<Number, bool>)
    text_part(Number number) noexcept
        : value_(static_cast<unsigned long long>(number)), kind_(number < 0 ? kind::negative : kind::number) {}

private:
    friend std::string text(std::initializer_list<text_part> parts);
    enum class kind : char { characters, number, negative };

    const char* characters_ = nullptr;
    unsigned long long value_;  // the number, or how many characters
    kind kind_ = kind::characters;
};

// Returns the parts, one after the other: text({"signal ", 15}). One call, where a sum of strings is compiled into several
// hundred bytes each time. Throws: std::bad_alloc.
std::string text(std::initializer_list<text_part> parts);

}  // namespace cove
