// `html` is htm bound to the one Preact that shell and pages share.
import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
