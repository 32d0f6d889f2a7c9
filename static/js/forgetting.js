// Whoever was here before left their last address, with what they searched for, in this tab: htmx keeps it.
sessionStorage.clear();
