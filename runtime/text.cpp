#include <cove/runtime/text.hpp>

#include <charconv>

namespace cove {

std::string text(std::initializer_list<text_part> parts) {
    std::string whole;
    for (const text_part& part : parts) {
        if (part.kind_ == text_part::kind::characters) {
            whole.append(part.characters_, part.value_);
            continue;
        }
        const bool negative = part.kind_ == text_part::kind::negative;
        if (negative) whole += '-';
        char digits[24];
        const auto end = std::to_chars(digits, digits + sizeof digits, negative ? 0 - part.value_ : part.value_).ptr;
        whole.append(digits, end);
    }
    return whole;
}

}  // namespace cove
