// A test agent without a `pool` export, like an unchanged file of a LiveKit project.
import agent from "./_remembers.ts";

export default agent;
